// Prints of each picture: score, p-value, verdict, and the row and column where its anomaly map is highest.
//
//     score_picture EXPORT PICTURE.png ...
//
// EXPORT is a folder that `oddgan export MODEL DATA --to openvino` wrote from a model of 8-bit pictures. C++17, OpenVINO
// and libpng; CMakeLists.txt beside it builds it.

#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include <openvino/openvino.hpp>
#include <png.h>

/// A picture file as a tensor (1, height, width, channels) of bytes.
ov::Tensor picture_of(const std::string& file, size_t channels) {
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    if (!png_image_begin_read_from_file(&image, file.c_str())) throw std::runtime_error(file + ": " + image.message);
    image.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
    ov::Tensor tensor(ov::element::u8, {1, image.height, image.width, channels});
    if (!png_image_finish_read(&image, nullptr, tensor.data(), 0, nullptr))
        throw std::runtime_error(file + ": " + image.message);
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
    const size_t channels = model->input().get_partial_shape()[3].get_length();
    std::cout.precision(9);
    for (int i = 2; i < count; i++) {
        request.set_input_tensor(picture_of(given[i], channels));
        request.infer();
        const auto map = named("anomaly_map");
        const float* places = map.data<float>();
        const size_t peak = std::max_element(places, places + map.get_size()) - places, width = map.get_shape()[2];
        std::cout << given[i] << ' ' << *named("score").data<double>() << ' ' << *named("p_value").data<double>() << ' '
                  << (*named("is_anomaly").data<bool>() ? "anomaly" : "normal") << ' ' << peak / width << ' '
                  << peak % width << '\n';
    }
} catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
}
