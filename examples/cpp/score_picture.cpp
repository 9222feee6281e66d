// Prints of each picture: score, p-value, verdict, and, of a model with anomaly maps, the row and column where its map is
// highest.
//
//     score_picture EXPORT PICTURE.png ...
//
// EXPORT is a folder that `oddgan export MODEL DATA --to openvino` wrote from a model of 8-bit pictures. C++17, OpenVINO
// and libpng; CMakeLists.txt beside it builds it.

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>

#include <openvino/openvino.hpp>
#include <png.h>

void failed(png_structp png, png_const_charp) { png_longjmp(png, 1); }
void quiet(png_structp, png_const_charp) {}

/// Read a PNG file: its samples as they are, of one to four channels and 8 bits, or 16 where the file has them. Whether
/// it has a palette, for a palette of greys is a grey picture.
bool read(const std::string& name, png_structp& png, png_infop& info) {
    std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(name.c_str(), "rb"), std::fclose);
    if (!file) throw std::runtime_error(name + ": cannot be opened");
    std::fseek(file.get(), 25, SEEK_SET);  // in the header: of the picture that is read, libpng tells the expanded type
    const int type = std::fgetc(file.get());
    std::rewind(file.get());
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, nullptr, failed, quiet);
    info = png_create_info_struct(png);
    if (setjmp(png_jmpbuf(png))) {
        png_destroy_read_struct(&png, &info, nullptr);
        throw std::runtime_error(name + ": is no PNG file, or a damaged one");
    }
    png_init_io(png, file.get());
    png_read_png(png, info, PNG_TRANSFORM_EXPAND, nullptr);  // unlike png_image_*, it heeds no gAMA chunk
    return type == PNG_COLOR_TYPE_PALETTE;
}

/// A picture file as a tensor (1, height, width, channels) of bytes, on black where it is transparent. What the model was
/// not trained on is refused: pictures deeper than 8 bits, and colour for a model of grey pictures or the other way round.
ov::Tensor picture_of(const std::string& file, size_t channels) {
    png_structp png = nullptr;
    png_infop info = nullptr;
    const bool indexed = read(file, png, info);
    const size_t height = png_get_image_height(png, info), width = png_get_image_width(png, info);
    const size_t each = png_get_channels(png, info);
    const bool deep = png_get_bit_depth(png, info) > 8, transparent = each % 2 == 0;
    bool grey = each < 3;
    png_colorp colours = nullptr;
    int count = 0;
    if (!grey && indexed && png_get_PLTE(png, info, &colours, &count))
        grey = std::all_of(colours, colours + count, [](png_color c) { return c.red == c.green && c.red == c.blue; });
    ov::Tensor tensor(ov::element::u8, {1, height, width, channels});
    if (!deep && grey == (channels == 1)) {
        auto* values = tensor.data<uint8_t>();
        for (size_t y = 0; y < height; y++) {
            const png_byte* row = png_get_rows(png, info)[y];
            for (size_t x = 0; x < width; x++, row += each)
                for (size_t c = 0; c < channels; c++)
                    *values++ = uint8_t((row[c] * (transparent ? row[each - 1] : 255) + 127) / 255);
        }
    }
    png_destroy_read_struct(&png, &info, nullptr);
    if (deep || grey != (channels == 1))
        throw std::runtime_error(file + ": " + (deep ? "is deeper than 8 bits" : grey ? "is grey" : "is in colour") +
                                 ", and the model takes 8-bit " + (channels == 1 ? "grey" : "colour") + " pictures");
    return tensor;
}

int main(int count, char** given) try {
    if (count < 3) throw std::runtime_error("usage: score_picture EXPORT PICTURE.png ...");
    ov::Core core;
    auto model = core.read_model(std::string(given[1]) + "/model.xml");
    // Left to itself, OpenVINO computes in bfloat16 where the processor can, and scores move past the threshold.
    auto compiled = core.compile_model(model, "CPU", ov::hint::inference_precision(ov::element::f32));
    auto request = compiled.create_infer_request();
    const auto outputs = model->outputs();
    auto named = [&](const std::string& name) {  // compiled outputs have the same order, and may have other names
        for (size_t i = 0; i < outputs.size(); i++)
            if (outputs[i].get_names().count(name)) return request.get_output_tensor(i);
        throw std::runtime_error(std::string(given[1]) + ": has no output " + name + "; its README.md says why");
    };
    const bool located = std::any_of(outputs.begin(), outputs.end(),
                                     [](const auto& one) { return one.get_names().count("anomaly_map") > 0; });
    const size_t channels = model->input().get_partial_shape()[3].get_length();
    std::cout.precision(9);
    for (int i = 2; i < count; i++) {
        request.set_input_tensor(picture_of(given[i], channels));
        request.infer();
        std::cout << given[i] << ' ' << *named("score").data<double>() << ' ' << *named("p_value").data<double>() << ' '
                  << (*named("is_anomaly").data<bool>() ? "anomaly" : "normal");
        if (located) {
            const auto map = named("anomaly_map");
            const float* places = map.data<float>();
            const size_t peak = std::max_element(places, places + map.get_size()) - places, width = map.get_shape()[2];
            std::cout << ' ' << peak / width << ' ' << peak % width;
        }
        std::cout << '\n';
    }
} catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
}
